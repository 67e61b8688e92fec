"""What a candidate is: genomes, their canonical form, repair, operators and seeds (no torch)."""
