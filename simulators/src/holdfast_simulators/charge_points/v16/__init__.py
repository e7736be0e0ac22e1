"""OCPP 1.6J charge points with the offline behaviour of real ones."""
