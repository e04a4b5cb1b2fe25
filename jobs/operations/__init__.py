"""For who runs the nights: doctor, plan, rescore, check-delivery, the demo and a sample day."""
