"""What is done with data about people: a person is erased, with a proof, and photos past their days are deleted."""
