//! The formats that are built in, one file each.

pub mod junit;
pub mod openhtf;
pub mod pytest;
pub mod robot;
pub mod saki;
pub mod sigmaquest;
pub mod stepwize;
pub mod wsjf;
pub mod wstf;
pub mod wsxf;
