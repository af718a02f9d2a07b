//! The colours.

use eframe::egui::{Color32, Theme};

use super::Tone;

/// Colours of one theme.
#[derive(Debug)]
pub struct Palette {
    /// Behind everything.
    pub background: Color32,
    /// Of a card on the background.
    pub surface: Color32,
    /// Of the bar at the top.
    pub bar: Color32,
    /// Between parts.
    pub line: Color32,
    /// Names and numbers.
    pub text_strong: Color32,
    /// Ordinary text.
    pub text: Color32,
    /// Explanations.
    pub text_weak: Color32,
    /// What can be clicked, and the plot.
    pub accent: Color32,
    /// The same with the pointer over it.
    pub accent_hover: Color32,
    /// Text on the accent.
    pub on_accent: Color32,
    /// A control at rest.
    pub control: Color32,
    /// A control with the pointer over it.
    pub control_hover: Color32,
    /// A control that is being pressed.
    pub control_active: Color32,
    /// Lines of a plot, one destination each, in this order.
    pub series: [Color32; 6],
    good: Shade,
    busy: Shade,
    warning: Shade,
    bad: Shade,
    neutral: Shade,
}

/// The colours of a state.
#[derive(Debug, Clone, Copy)]
pub struct Shade {
    /// A mark or a bar.
    pub mark: Color32,
    /// Text.
    pub text: Color32,
    /// Behind the text.
    pub fill: Color32,
}

impl Palette {
    /// The colours of a state.
    #[must_use]
    pub fn tone(&self, tone: Tone) -> Shade {
        match tone {
            Tone::Good => self.good,
            Tone::Busy => self.busy,
            Tone::Warning => self.warning,
            Tone::Bad => self.bad,
            Tone::Neutral => self.neutral,
        }
    }
}

pub(super) fn of(theme: Theme) -> &'static Palette {
    match theme {
        Theme::Light => &LIGHT,
        Theme::Dark => &DARK,
    }
}

const fn rgb(hex: u32) -> Color32 {
    let [_, r, g, b] = hex.to_be_bytes();
    Color32::from_rgb(r, g, b)
}

const fn shade(mark: u32, text: u32, fill: u32) -> Shade {
    Shade { mark: rgb(mark), text: rgb(text), fill: rgb(fill) }
}

const LIGHT: Palette = Palette {
    background: rgb(0xf4_f5_f7),
    surface: rgb(0xff_ff_ff),
    bar: rgb(0xff_ff_ff),
    line: rgb(0xe1_e4_e9),
    text_strong: rgb(0x17_1c_24),
    text: rgb(0x33_3b_47),
    text_weak: rgb(0x5f_69_78),
    accent: rgb(0x1f_5f_bf),
    accent_hover: rgb(0x18_4f_a3),
    on_accent: rgb(0xff_ff_ff),
    control: rgb(0xee_f0_f3),
    control_hover: rgb(0xe3_e6_eb),
    control_active: rgb(0xd5_da_e1),
    series: [rgb(0x1f_5f_bf), rgb(0x0f_8a_7e), rgb(0x8a_4f_b8), rgb(0xb3_6b_00), rgb(0xb0_3a_6f), rgb(0x5b_6b_7f)],
    good: shade(0x1f_93_54, 0x14_6b_3b, 0xe2_f4_e9),
    busy: shade(0x2f_74_d0, 0x1c_54_a3, 0xe4_ee_fb),
    warning: shade(0xd9_8a_00, 0x85_51_00, 0xfd_f1_d8),
    bad: shade(0xcf_33_33, 0xa8_21_21, 0xfc_e7_e6),
    neutral: shade(0x8b_95_a3, 0x4d_57_65, 0xec_ee_f1),
};

const DARK: Palette = Palette {
    background: rgb(0x15_18_1d),
    surface: rgb(0x1e_22_29),
    bar: rgb(0x1a_1e_24),
    line: rgb(0x2f_35_3f),
    text_strong: rgb(0xf0_f3_f7),
    text: rgb(0xcc_d3_dc),
    text_weak: rgb(0x95_9f_ad),
    accent: rgb(0x3b_7d_dd),
    accent_hover: rgb(0x4f_8f_ec),
    on_accent: rgb(0xff_ff_ff),
    control: rgb(0x2a_30_39),
    control_hover: rgb(0x35_3c_47),
    control_active: rgb(0x41_4a_57),
    series: [rgb(0x6a_a5_f5), rgb(0x4c_c2_b3), rgb(0xc0_8c_ea), rgb(0xe5_a9_4a), rgb(0xea_7f_ae), rgb(0x9a_a8_b8)],
    good: shade(0x3f_bf_79, 0x7d_dc_a6, 0x1c_36_28),
    busy: shade(0x5a_9b_f0, 0x9c_c4_f9, 0x1d_2f_4a),
    warning: shade(0xe5_a5_35, 0xf2_c6_76, 0x3b_2e_15),
    bad: shade(0xef_62_5d, 0xfa_a3_9f, 0x42_20_21),
    neutral: shade(0x7f_8a_99, 0xb6_bf_cb, 0x2b_31_3a),
};

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance and contrast as WCAG 2.1 defines them.
    fn contrast(a: Color32, b: Color32) -> f64 {
        let luminance = |colour: Color32| {
            let linear = |channel: u8| {
                let c = f64::from(channel) / 255.0;
                if c <= 0.040_45 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * linear(colour.r()) + 0.7152 * linear(colour.g()) + 0.0722 * linear(colour.b())
        };
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn every_text_can_be_read_on_its_background() {
        for palette in [&LIGHT, &DARK] {
            let mut pairs = vec![(palette.on_accent, palette.accent)];
            for background in [palette.background, palette.surface, palette.bar] {
                pairs.extend([palette.text_strong, palette.text, palette.text_weak].map(|text| (text, background)));
            }
            for tone in [Tone::Good, Tone::Busy, Tone::Warning, Tone::Bad, Tone::Neutral] {
                let shade = palette.tone(tone);
                pairs.extend([(shade.text, shade.fill), (shade.text, palette.surface)]);
            }
            for (text, background) in pairs {
                let contrast = contrast(text, background);
                assert!(contrast >= 4.0, "{text:?} on {background:?} has a contrast of {contrast:.1}");
            }
        }
    }
}
