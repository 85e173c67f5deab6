"""What damages change in a file: values of JSON, edited records, columns and cells of tables, and code."""
