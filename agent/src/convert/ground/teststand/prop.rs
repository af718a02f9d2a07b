//! Properties as a tree: TestStand's containers, arrays and values, whatever the file calls them.

use crate::convert::ground::chart::Curve;
use crate::convert::ground::chart::MOST_CURVES;
use crate::convert::ground::number::Decimal;
use crate::convert::ground::walk::Lines;
use crate::convert::ground::xml::Element;
use waybill_shared::report::Num;

/// A property with those in it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::convert) struct Prop {
    /// Its name; that of an element of an array is its place, as `[0]` or `[2,0]`.
    pub(in crate::convert) name: String,
    /// What it holds.
    pub(in crate::convert) kind: Kind,
    /// Its value.
    pub(in crate::convert) text: String,
    /// Properties of a container, elements of an array.
    pub(in crate::convert) members: Vec<Prop>,
}

/// What a property holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::convert) enum Kind {
    /// A number.
    Number,
    /// A text.
    #[default]
    Text,
    /// True or false.
    Flag,
    /// Numbered elements.
    Array,
    /// Named properties.
    Container,
}

impl Prop {
    /// From TestStand's own XML. Its comments, its attributes and the prototypes of its arrays are no values.
    pub(in crate::convert) fn of(element: Element<'_>) -> Self {
        let kind = match element.attribute("Type").unwrap_or_default() {
            "Number" => Kind::Number,
            "Boolean" => Kind::Flag,
            "Array" => Kind::Array,
            "String" | "Reference" | "Path" => Kind::Text,
            _ => Kind::Container,
        };
        let name = element.attribute("Name").unwrap_or_default().to_owned();
        let mut prop = Self { name, kind, ..Self::default() };
        let of_elements = match element.attribute("ElementType").unwrap_or_default() {
            "Number" => Kind::Number,
            "Boolean" => Kind::Flag,
            _ => Kind::Text,
        };
        for child in element.children() {
            match (child.name(), child.attribute("ID")) {
                ("Prop", _) => prop.members.push(Self::of(child)),
                ("Value", Some(place)) => {
                    let mut inner: Vec<_> = child.children().filter(|inner| inner.name() == "Prop").map(Self::of).collect();
                    let member = match (inner.pop(), inner.is_empty()) {
                        (Some(mut only), true) => {
                            if only.name.is_empty() {
                                place.clone_into(&mut only.name);
                            }
                            only
                        }
                        (Some(last), false) => {
                            inner.push(last);
                            Self { name: place.to_owned(), kind: Kind::Container, members: inner, ..Self::default() }
                        }
                        (None, _) => {
                            Self { name: place.to_owned(), kind: of_elements, text: child.text().to_owned(), ..Self::default() }
                        }
                    };
                    prop.members.push(member);
                }
                ("Value", None) => prop.text = child.text().to_owned(),
                _ => {}
            }
        }
        prop
    }

    /// A property in it.
    pub(in crate::convert) fn get(&self, name: &str) -> Option<&Prop> {
        self.members.iter().find(|member| member.name == name)
    }

    /// What a property in it says, unless it says nothing.
    pub(in crate::convert) fn said(&self, name: &str) -> Option<&str> {
        self.get(name).map(|member| member.text.trim()).filter(|text| !text.is_empty())
    }

    /// A whole number in it, as TestStand writes it: all its numbers are floating.
    pub(in crate::convert) fn whole(&self, name: &str) -> Option<i64> {
        whole(self.said(name)?)
    }

    /// All values in it that say something, each under the names that lead to it.
    pub(in crate::convert) fn pairs(&self) -> Vec<(String, &str)> {
        let mut pairs = Vec::new();
        self.pairs_as(&self.name, &mut pairs);
        pairs
    }

    /// The same as lines of a report text.
    pub(in crate::convert) fn lines(&self, lines: &mut Lines) {
        self.pairs().iter().for_each(|(name, text)| lines.add(name, text));
    }

    fn pairs_as<'a>(&'a self, name: &str, pairs: &mut Vec<(String, &'a str)>) {
        if !self.text.trim().is_empty() {
            pairs.push((name.to_owned(), &self.text));
        }
        for member in &self.members {
            let inner = if name.is_empty() || member.name.starts_with('[') {
                format!("{name}{}", member.name)
            } else if member.name.strip_prefix(self.name.as_str()).is_some_and(|place| place.starts_with('[')) {
                // An element that repeats the name of its array.
                format!("{}{}", name.strip_suffix(self.name.as_str()).unwrap_or_default(), member.name)
            } else {
                format!("{name}.{}", member.name)
            };
            member.pairs_as(&inner, pairs);
        }
    }

    /// An array of numbers of one dimension as a curve, of two as one for each place of the last one (the first one if there are fewer of these).
    /// None for anything else, and where an element is no number.
    pub(in crate::convert) fn curves(&self, decimal: Decimal) -> Option<Vec<Curve>> {
        if self.kind != Kind::Array || self.members.is_empty() {
            return None;
        }
        let point = |member: &Prop| {
            let y = super::number(&member.text, decimal)?.value;
            (member.kind == Kind::Number && member.members.is_empty()).then_some((places(&member.name), y))
        };
        let points: Vec<_> = self.members.iter().map(point).collect::<Option<_>>()?;
        let dimensions = points.first().map_or(0, |(places, _)| places.len());
        if !matches!(dimensions, 1 | 2) || points.iter().any(|(places, _)| places.len() != dimensions) {
            return None;
        }
        if dimensions == 1 {
            let points = points.into_iter().filter_map(|(places, y)| Some((Num::from(*places.first()?), y))).collect();
            return Some(vec![Curve { name: self.name.clone(), points }]);
        }
        let numbers = |at: usize| {
            let mut numbers: Vec<_> = points.iter().filter_map(|(places, _)| places.get(at).copied()).collect();
            numbers.sort_unstable();
            numbers.dedup();
            numbers
        };
        let (firsts, lasts) = (numbers(0), numbers(1));
        let by_last = lasts.len() <= MOST_CURVES || lasts.len() <= firsts.len();
        let (along, across) = if by_last { (0, 1) } else { (1, 0) };
        let mut curves: std::collections::BTreeMap<i64, Vec<(i64, Num)>> = std::collections::BTreeMap::new();
        for (places, y) in points {
            if let (Some(&x), Some(&of)) = (places.get(along), places.get(across)) {
                curves.entry(of).or_default().push((x, y));
            }
        }
        let curve = |(of, mut points): (i64, Vec<(i64, Num)>)| {
            points.sort_by_key(|(x, _)| *x);
            let place = if by_last { format!("[*,{of}]") } else { format!("[{of},*]") };
            Curve { name: format!("{}{place}", self.name), points: points.into_iter().map(|(x, y)| (Num::from(x), y)).collect() }
        };
        Some(curves.into_iter().map(curve).collect())
    }
}

/// A whole number that may be written as a floating one.
pub(in crate::convert) fn whole(text: &str) -> Option<i64> {
    let text = text.trim();
    let whole = text.split_once('.').filter(|(_, zeros)| zeros.bytes().all(|b| b == b'0')).map_or(text, |(whole, _)| whole);
    whole.parse().ok()
}

/// `[2,0]` and `[2][0]` as numbers.
fn places(name: &str) -> Vec<i64> {
    name.split(|c: char| !c.is_ascii_digit())
        .filter(|digits| !digits.is_empty())
        .filter_map(|digits| digits.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::ground::xml::Xml;

    fn prop(text: &str) -> Prop {
        let mut xml = Xml::new(text.as_bytes());
        Prop::of(xml.next(|_| true).unwrap().unwrap())
    }

    const TREE: &str = "<Prop Name='R' Type='Obj'><Comment>c</Comment><Attributes><Prop Name='NI' Type='Obj'/></Attributes>\
        <Prop Name='N' Type='Number'><Value>4.0</Value></Prop><Prop Name='E' Type='String'><Value></Value></Prop>\
        <Prop Name='A' Type='Array' ElementType='Obj'><ArrayElementPrototype Type='Obj'><Prop Name='S' Type='String'><Value>x</Value></Prop>\
        </ArrayElementPrototype><Value ID='[0]'><Prop Type='Obj'><Prop Name='S' Type='String'><Value>y</Value></Prop></Prop></Value></Prop></Prop>";

    #[test]
    fn properties_are_read_as_a_tree_and_told_as_lines() {
        let tree = prop(TREE);
        assert_eq!((tree.whole("N"), tree.said("E"), tree.get("A").unwrap().members[0].said("S")), (Some(4), None, Some("y")));
        let mut lines = Lines::default();
        tree.lines(&mut lines);
        assert_eq!(lines.into_text().unwrap(), "R.N: 4.0\nR.A[0].S: y");
    }

    #[test]
    fn arrays_of_numbers_are_curves_by_the_places_of_their_elements() {
        let array = |elements: &[(&str, &str)]| {
            let values: String = elements.iter().map(|(place, value)| format!("<Value ID='{place}'>{value}</Value>")).collect();
            let array = prop(&format!("<Prop Name='w' Type='Array' ElementType='Number'>{values}</Prop>"));
            let shown = |curve: Curve| {
                let points = curve.points.iter().map(|(x, y)| format!("{x}={y}")).collect::<Vec<_>>();
                format!("{} {}", curve.name, points.join(" "))
            };
            array.curves(Decimal::Point).map(|curves| curves.into_iter().map(shown).collect::<Vec<_>>())
        };
        assert_eq!(array(&[("[0]", "1"), ("[5]", "NaN")]).unwrap(), ["w 0=1 5=NaN"]);
        let two = [("[0][0]", "1"), ("[1][0]", "2"), ("[0][1]", "4"), ("[1][1]", "5")];
        assert_eq!(array(&two).unwrap(), ["w[*,0] 0=1 1=2", "w[*,1] 0=4 1=5"]);
        let wide: Vec<_> = (0..12).map(|n| (format!("[0,{n}]"), n.to_string())).collect();
        let wide: Vec<_> = wide.iter().map(|(place, value)| (place.as_str(), value.as_str())).collect();
        assert_eq!(array(&wide).unwrap().len(), 1);
        assert_eq!(array(&[("[0][0][0]", "1")]), None);
        assert_eq!(array(&[("[0]", "1"), ("[1]", "x")]), None);
        assert_eq!(array(&[]), None);
    }
}
