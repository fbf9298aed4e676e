"""The demo's data: a made world, whose people choose by a distribution that is known."""
