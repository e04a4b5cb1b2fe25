"""Commands for operators: doctor, plan, rescore and check-delivery; also the demo and its sample day."""
