"""What every byte of a file is: regions in the order of the file, without gaps."""
