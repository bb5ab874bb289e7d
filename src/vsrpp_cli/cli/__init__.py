"""The command line: the only place that prints, parses arguments or exits."""
