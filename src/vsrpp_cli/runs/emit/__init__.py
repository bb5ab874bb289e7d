"""Jobs for schedulers that carry out a written plan: text to be looked at, edited and submitted."""
