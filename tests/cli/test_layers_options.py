"""How layers are named on the command line."""

from netcaliper.cli.layers_options import which_layers


def test_one_word_stays_a_word_and_several_are_a_list():
    assert which_layers(None) == which_layers([]) == "all"
    assert which_layers(["streams"]) == "streams"
    assert which_layers(["a", "b*"]) == ["a", "b*"]
