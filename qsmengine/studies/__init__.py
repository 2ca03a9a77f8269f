"""Published studies, reproduced: virtual cohort, the engine's statistics, the paper's tables beside them."""
