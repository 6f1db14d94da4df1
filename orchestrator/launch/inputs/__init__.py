"""What a launch is given: data sets and sets made elsewhere, read and checked before Ray starts."""
