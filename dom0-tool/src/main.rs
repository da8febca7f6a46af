//! The program `nacre`: everything is in the library.

fn main() {}
