//! The formats that are built in, one file each.

pub mod junit;
pub mod klippel;
pub mod listen;
pub mod openhtf;
pub mod wsjf;
pub mod wsxf;
pub mod xjtag;
