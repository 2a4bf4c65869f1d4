//! Tables for people: at most a hundred columns.

use std::io::{self, Write};

use poolscope::explain::{EndpointView, Frontend, ServiceView, State};

const WIDTH: usize = 100;

/// Rows of cells, printed with columns as wide as they need to be; the last one is cut to fit.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<const N: usize>(head: [&str; N]) -> Table {
        Table { rows: vec![head.map(str::to_owned).to_vec()] }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }

    pub(crate) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, &width) in row.iter().zip(&widths) {
                line += &format!("{cell:width$}  ");
            }
            writeln!(out, "{}", fit(line.trim_end(), WIDTH))?;
        }
        Ok(())
    }
}

/// The text, cut to `width` columns with a mark that it was.
pub(crate) fn fit(text: &str, width: usize) -> String {
    if text.chars().count() <= width { text.to_owned() } else { text.chars().take(width - 1).chain(['…']).collect() }
}

/// Services as `cilium-dbg service list` prints them: a numbered row for each frontend, with the backends it sends to.
pub(crate) fn services(views: &[ServiceView], out: &mut dyn Write) -> io::Result<()> {
    let mut table = Table::new(["ID", "FRONTEND", "TYPE", "BACKEND"]);
    let mut id = 0;
    for view in views {
        let name = format!("{}/{}", view.namespace, view.name);
        let hidden = view.endpoints.len() - view.kept();
        let seen = format!(
            "{} of {} endpoints seen{}",
            view.kept(),
            view.endpoints.len(),
            if hidden > 0 { format!(", {hidden} hidden") } else { String::new() }
        );
        table.row([String::new(), name, view.topology.unwrap_or("unknown").to_owned(), seen]);
        for frontend in &view.frontends {
            id += 1;
            let mut first = [id.to_string(), frontend.address.clone(), frontend.r#type.to_owned()];
            let backends = backends(view, frontend);
            for (number, backend) in backends.iter().enumerate() {
                let [id, address, r#type] = std::mem::take(&mut first);
                table.row([id, address, r#type, format!("{} => {backend}", number + 1)]);
            }
            if backends.is_empty() {
                let [id, address, r#type] = first;
                table.row([id, address, r#type, "no backend".to_owned()]);
            }
        }
    }
    table.print(out)
}

/// What a frontend sends to: endpoints of its family, at the port of its name.
fn backends(view: &ServiceView, frontend: &Frontend) -> Vec<String> {
    let any_family = matches!(frontend.r#type, "NodePort" | "Headless");
    let family = |endpoint: &&EndpointView| any_family || endpoint.address.contains(':') == frontend.ipv6;
    let backend = |endpoint: &EndpointView| {
        let port = endpoint.ports.iter().find(|port| port.name == frontend.port_name)?;
        let address = if endpoint.address.contains(':') { format!("[{}]", endpoint.address) } else { endpoint.address.clone() };
        let node = endpoint.node.as_deref().unwrap_or("no node");
        let state = if endpoint.state == State::Active { "active" } else { "terminating" };
        Some(format!("{address}:{}/{} ({state}) {node}", port.port, port.protocol))
    };
    view.backends().filter(family).filter_map(backend).collect()
}
