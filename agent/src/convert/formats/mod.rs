//! The formats that are built in, one file each.

pub mod atml;
pub mod junit;
pub mod openhtf;
pub mod teststand;
pub mod wsjf;
pub mod wsxf;
