"""The commands of the `fewstep` program; no command but `sample` imports torch."""
