import pandas as pd


def run(data, config, parser="lxml"):
    shops = pd.read_xml(data / "shops.xml", parser=parser)
    print(shops.to_xml(index=False, parser=parser, row_name="shop"))
    if parser == "lxml":
        print(shops.to_xml(index=False, stylesheet=str(data / "flat.xsl")))
        print(pd.read_xml(data / "shops.xml", xpath="/shops/shop[starts-with(zone, 'Europe')]").city.tolist())
