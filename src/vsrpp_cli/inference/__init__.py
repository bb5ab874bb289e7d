"""Clips in, upscaled clips out: device, precision, tiles, carried state and the guard."""
