"""What every stage takes: seeds, the device, files that are whole or absent."""
