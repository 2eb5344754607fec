"""What every part of the library may use; knows none of them."""
