"""The file format of face crops, and the folder of such files that is a store."""
