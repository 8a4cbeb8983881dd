"""``python -m netcaliper``: the command line, with the interpreter that one names."""

from netcaliper.cli.main import main

main()
