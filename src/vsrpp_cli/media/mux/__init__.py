"""The end of a run: other streams, joining, verification and the output's name."""
