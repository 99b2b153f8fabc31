"""Workers: processes on other machines that compute the cells of a plan file, and who looks on."""
