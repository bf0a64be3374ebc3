from setuptools import setup

setup(
    name="shop",
    version="1.4.0",
    packages=["shop"],
    package_data={"shop": ["templates/*", "static/*", "catalogue.yaml"]},
    install_requires=["flask", "pyyaml"],
    entry_points={"console_scripts": ["shop-report=shop.report:main"]},
)
