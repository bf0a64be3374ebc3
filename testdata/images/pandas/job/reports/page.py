import pathlib

import jinja2
import pandas as pd


def run(data, config, style="plain"):
    """A page of tables: pandas fills its own templates, we fill ours."""
    sales = pd.read_csv(data / "sales.csv").head(4)
    if style == "latex":
        print(sales.style.format(precision=1).to_latex(hrules=True))
        return
    tables = {"plain": sales.to_html(index=False, border=0)}
    if style == "styled":
        marked = sales.style.format({"price": "{:.2f} €"}).set_uuid("t").set_caption("Sales")
        tables["styled"] = marked.apply(lambda column: ["font-weight: bold" if v == column.max() else "" for v in column], subset=["amount"]).to_html()
    loader = jinja2.FileSystemLoader(pathlib.Path(__file__).resolve().parent.parent / "templates")
    page = jinja2.Environment(loader=loader).get_template("page.html").render(title=config["title"], tables=tables)
    print(page)
    import io

    print([table.shape for table in pd.read_html(io.StringIO(page))])
