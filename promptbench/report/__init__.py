"""From records to tables, and from tables to text: `gather` and `published` find the numbers,
`rows` and `build` make a `table` of plain data of them, and one module per format writes it."""
