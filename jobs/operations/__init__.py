"""Tools for operators of the nights: doctor, plan, rescore, check-delivery, the demo and a sample day."""
