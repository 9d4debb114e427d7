"""Where trades come from, one package for each exchange."""
