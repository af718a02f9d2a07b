//! The formats that are built in, one file each.

pub mod junit;
pub mod openhtf;
pub mod stdf;
pub mod wsjf;
pub mod wsxf;
