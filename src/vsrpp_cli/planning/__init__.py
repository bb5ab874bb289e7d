"""How a run is cut up: chunks, segments, tiles and the memory they take. Integers only."""
