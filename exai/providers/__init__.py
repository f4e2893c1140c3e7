"""Who answers: the vendors of models, behind one interface. Knows neither Django nor the rest of the hub."""
