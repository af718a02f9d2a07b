//! The window's icon, drawn rather than loaded: a sheet that goes to the right, on the accent.

use eframe::egui::{Color32, IconData, Theme};

use super::palette;

const SIDE: u32 = 64;
/// Points looked at for each side of a pixel, for smooth edges.
const SAMPLES: u32 = 4;

/// The icon.
#[must_use]
pub fn icon() -> IconData {
    let palette = palette::of(Theme::Light);
    let mut rgba = Vec::with_capacity((SIDE * SIDE * 4) as usize);
    for y in 0..SIDE {
        for x in 0..SIDE {
            rgba.extend_from_slice(&pixel(x, y, palette.accent, palette.on_accent));
        }
    }
    IconData { rgba, width: SIDE, height: SIDE }
}

fn pixel(x: u32, y: u32, ground: Color32, mark: Color32) -> [u8; 4] {
    let (mut inside, mut marked) = (0, 0);
    for sample in 0..SAMPLES * SAMPLES {
        let at = |pixel: u32, sample: u32| (f64::from(pixel) + (f64::from(sample) + 0.5) / f64::from(SAMPLES)) / f64::from(SIDE);
        let (u, v) = (at(x, sample % SAMPLES), at(y, sample / SAMPLES));
        inside += u32::from(in_square(u, v));
        marked += u32::from(in_mark(u, v));
    }
    let all = SAMPLES * SAMPLES;
    let mix = |a: u8, b: u8| {
        let mixed = (u32::from(a) * (all - marked) + u32::from(b) * marked) / all;
        u8::try_from(mixed).unwrap_or(u8::MAX)
    };
    let alpha = u8::try_from(inside * 255 / all).unwrap_or(u8::MAX);
    [mix(ground.r(), mark.r()), mix(ground.g(), mark.g()), mix(ground.b(), mark.b()), alpha]
}

/// A square with round corners; coordinates from 0 to 1.
fn in_square(u: f64, v: f64) -> bool {
    const RADIUS: f64 = 0.22;
    let beyond = |c: f64| ((c - 0.5).abs() - (0.5 - RADIUS)).max(0.0);
    beyond(u).hypot(beyond(v)) <= RADIUS
}

/// Two lines of a sheet, and an arrow head after them.
fn in_mark(u: f64, v: f64) -> bool {
    let line = |middle: f64, from: f64, to: f64| (v - middle).abs() <= 0.045 && (from..=to).contains(&u);
    let arm = (u - 0.78 + (v - 0.5).abs()).abs() <= 0.064 && (v - 0.5).abs() <= 0.24;
    line(0.5, 0.18, 0.74) || line(0.33, 0.18, 0.46) || line(0.67, 0.18, 0.46) || arm
}
