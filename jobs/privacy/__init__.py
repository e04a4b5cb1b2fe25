"""Commands for people's data: erases a person from all tables with a proof, deletes old photos, resolves pseudonyms."""
