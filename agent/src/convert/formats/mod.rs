//! The formats that are built in, one file each.

pub mod i3070;
pub mod junit;
pub mod openhtf;
pub mod takaya;
pub mod wsjf;
pub mod wsxf;
