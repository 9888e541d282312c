"""The stages that the command line offers, one file each."""
