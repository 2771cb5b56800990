//! What a taxonomy file says may be done with the values of each field.

use std::collections::BTreeMap;

use figment::value::Value;

use crate::domain::{
    route::{Precision, RouteSetting},
    taxonomy,
};

/// Whether the model has the field and certifies the precision is known once a bundle is loaded. Read by hand, so
/// that a wrong key or type is named together with everything else.
pub(super) fn parse(raw: BTreeMap<String, Value>, problems: &mut Vec<String>) -> BTreeMap<String, RouteSetting> {
    let mut routes = BTreeMap::new();
    for (field, value) in raw {
        let mut wrong = |what: String| problems.push(format!("routes.{field}{what}"));
        if field == taxonomy::PRIORITY {
            wrong(": priority follows from impact and urgency and has no route of its own; set theirs".to_owned());
            continue;
        }
        let Value::Dict(_, mut table) = value else {
            wrong(": must be a table, such as { route = \"recommend\" }".to_owned());
            continue;
        };
        let (route, precision) = (table.remove("route"), table.remove("precision"));
        for key in table.keys() {
            wrong(format!(": unknown key `{key}`, expected route or precision"));
        }
        match parse_route(route.as_ref().and_then(Value::as_str), precision.as_ref()) {
            Ok(setting) => drop(routes.insert(field, setting)),
            Err(problem) => wrong(format!(".{problem}")),
        }
    }
    routes
}

fn parse_route(route: Option<&str>, precision: Option<&Value>) -> Result<RouteSetting, String> {
    let setting = match route {
        Some("off") => RouteSetting::Off,
        Some("monitor") => RouteSetting::Monitor,
        Some("recommend") => RouteSetting::Recommend,
        Some("autofill") => {
            let share = |value: &Value| value.deserialize().ok().and_then(Precision::new);
            let asked = precision.map_or_else(|| Some(Precision::default()), share).ok_or_else(|| {
                let (least, most) = (Precision::LEAST, Precision::MOST);
                format!("precision: must be a number from {least} to {most}; 0.95 asks for 95 % right")
            });
            return asked.map(RouteSetting::Autofill);
        }
        Some(unknown) => return Err(format!("route: `{unknown}` is not off, monitor, recommend or autofill")),
        None => return Err("route: must be off, monitor, recommend or autofill, as a string".to_owned()),
    };
    match precision {
        Some(_) => Err(format!("precision: only autofill takes one, and the route is {}", setting.as_str())),
        None => Ok(setting),
    }
}
