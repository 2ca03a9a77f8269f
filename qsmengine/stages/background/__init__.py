"""Background field removal: total field [ppm] -> local field [ppm] in a reliable mask."""
