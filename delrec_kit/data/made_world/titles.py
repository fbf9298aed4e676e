"""The films of the made world: readable titles whose words tell genre, series and part.

"Haunted Cellar (1994)" is a horror film since each genre has words of its own; "Kestrel Orbit II (1996)" is the second
part of a science-fiction series. The catalogue is always the same, whatever the users' seed, for the tiny language
model that ships with the kit has read it.
"""

import numpy as np
import pandas as pd

LEXICON = {
    "horror": (
        "Haunted Cursed Bloody Undead Creeping Buried Screaming Rotten Possessed Ghastly Moonless Howling",
        "Cellar Grave Crypt Coffin Asylum Phantom Scarecrow Vampire Nightmare Tomb Werewolf Attic",
    ),
    "comedy": (
        "Goofy Clumsy Wacky Silly Cheerful Lazy Nutty Awkward Giggling Bumbling Tipsy Grumpy",
        "Uncle Neighbour Vacation Barbecue Pajamas Mishap Roommate Prank Waiter Poodle Reunion Karaoke",
    ),
    "western": (
        "Dusty Lonesome Outlaw Frontier Rustling Galloping Sunburnt Untamed Rawhide Prairie Gunslinging Wandering",
        "Saloon Sheriff Canyon Stagecoach Mustang Corral Bounty Lasso Tumbleweed Holster Ranch Cowboy",
    ),
    "romance": (
        "Tender Blushing Secret Wedding Longing Moonlit Devoted Enchanted Gentle Parisian Springtime Forbidden",
        "Kiss Valentine Bride Sweetheart Letters Waltz Rendezvous Honeymoon Promise Bouquet Lovers Serenade",
    ),
    "space": (
        "Galactic Stellar Orbital Cosmic Lunar Robotic Interstellar Alien Nebular Android Quantum Weightless",
        "Outpost Starship Asteroid Orbit Colony Planet Wormhole Comet Spaceport Satellite Cyborg Supernova",
    ),
    "war": (
        "Fallen Marching Besieged Valiant Wounded Infantry Armoured Embattled Northern Captured Bugling Ironclad",
        "Battalion Trench Battlefield Brigade Sergeant Barracks Submarine Regiment Bunker Armistice Platoon Cannon",
    ),
    "crime": (
        "Crooked Stolen Guilty Smuggled Shady Bribed Undercover Forged Ruthless Corrupt Wanted Silenced",
        "Heist Gangster Alibi Detective Ransom Informant Verdict Getaway Mobster Evidence Swindle Jailbreak",
    ),
    "fantasy": (
        "Mystic Enchanting Elven Dragonborn Runic Magical Fabled Spellbound Faerie Mythic Crystal Wizardly",
        "Sorcerer Dragon Kingdom Amulet Unicorn Goblin Prophecy Potion Griffin Sceptre Throne Oracle",
    ),
    "sport": (
        "Winning Sprinting Undefeated Bruised Olympic Relentless Homerun Knockout Overtime Rookie Champion Sweaty",
        "Quarterback Marathon Stadium Boxer Coach Goalkeeper Playoff Racetrack Referee Medal Umpire Gymnast",
    ),
}
SERIES = (
    *("Kestrel", "Marlow", "Bramble", "Vesper", "Calloway", "Thorne", "Pemberton", "Juniper", "Halloran"),
    *("Octavia", "Rourke", "Sable", "Winslow", "Delphine", "Garrick", "Isolde", "Lockhart", "Merrick"),
    *("Nakamura", "Ostrander", "Prescott", "Quillon", "Ravenna", "Sterling", "Tamsin", "Ulrich", "Valdez"),
    *("Whitaker", "Yardley", "Zander", "Ashcroft", "Beaumont", "Corbin", "Dunmore", "Everett", "Finnegan"),
)
PARTS = ("", "II", "III", "IV", "V")
YEARS = range(1970, 2005)
CATALOGUE_SEED = 20240611


def make_catalogue(items: int) -> pd.DataFrame:
    """The first ``items`` films: title, genre (index into ``LEXICON``), series (-1 for none), part (1…5) and year.

    Films come in shuffled order, but a series' parts stay whole: a series is five films of one genre, years apart.
    """
    rng = np.random.default_rng(CATALOGUE_SEED)
    groups = _series(rng) + _single_films(rng)
    order = rng.permutation(len(groups))
    films = pd.DataFrame(
        [film for g in order for film in groups[g]], columns=["title", "genre", "series", "part", "year"]
    )
    if not 20 <= items <= len(films):
        raise ValueError(f"the made world has 20 to {len(films)} films, not {items}")
    films = films.iloc[:items]
    whole = films.groupby("series")["part"].transform("size") == len(PARTS)
    films.loc[~whole, "series"] = -1
    return films.iloc[rng.permutation(items)].reset_index(drop=True)


def _series(rng: np.random.Generator) -> list[list[tuple]]:
    groups = []
    for number, name in enumerate(SERIES):
        genre = number % len(LEXICON)
        noun = rng.choice(_words(genre)[1])
        years = rng.choice(YEARS[:20]) + np.cumsum([0, *rng.integers(1, 4, len(PARTS) - 1)])
        groups.append(
            [
                (" ".join(filter(None, (name, noun, part))) + f" ({year})", genre, number, place + 1, int(year))
                for place, (part, year) in enumerate(zip(PARTS, years, strict=True))
            ]
        )
    return groups


def _single_films(rng: np.random.Generator) -> list[list[tuple]]:
    groups = []
    for genre in range(len(LEXICON)):
        first, second = _words(genre)
        pairs = rng.permutation(len(first) * len(second))[:20]
        for pair in pairs:
            year = int(rng.choice(YEARS))
            title = f"{first[pair // len(second)]} {second[pair % len(second)]} ({year})"
            groups.append([(title, genre, -1, 1, year)])
    return groups


def _words(genre: int) -> tuple[list[str], list[str]]:
    first, second = list(LEXICON.values())[genre]
    return first.split(), second.split()
