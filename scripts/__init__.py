"""The commands: one file each, wiring settings to the packages below, and nothing else."""
