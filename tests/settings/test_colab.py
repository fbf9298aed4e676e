"""What is installed in Colab: what is missing, never what the machine is built for or has loaded."""

from packaging.requirements import Requirement

from delrec_kit.settings.colab import missing

WANTED = ["torch==2.13.0", "numpy>=2.2,<3", "pandas>=3,<4", "peft>=0.21,<0.22", "PyYAML>=6,<7", "captum>=0.9,<1"]
THERE = {"torch": "2.11.0+cu128", "numpy": "2.3.1", "pandas": "2.2.2", "peft": "0.18.0", "pyyaml": "5.4"}


def test_what_is_missing_is_installed_and_nothing_that_needs_a_restart():
    wanted = [Requirement(text) for text in WANTED]
    install, kept = missing(wanted, THERE, {"torch", "numpy", "pandas", "yaml"})
    assert [Requirement(text).name for text in install] == ["peft", "captum"]
    assert kept == ["torch 2.11.0+cu128", "pandas 2.2.2", "PyYAML 5.4"]
    install, kept = missing(wanted, THERE, set())
    assert [Requirement(text).name for text in install] == ["pandas", "peft", "PyYAML", "captum"]
    assert kept == ["torch 2.11.0+cu128"], "whether it is loaded or not"
