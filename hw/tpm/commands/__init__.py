"""The commands of the TPM: one file a topic, all of them in `table`."""
