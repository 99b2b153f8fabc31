"""From records to tables, and from tables to text: `gather` and `published` find the numbers,
`table` makes a table of plain data, and one module per format writes it."""
