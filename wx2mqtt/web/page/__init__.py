"""The page at `/`: its sections, its forms, and the updates while a viewer has it open."""
