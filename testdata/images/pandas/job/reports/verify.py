import subprocess


def run(data, config):
    """Are the tables those that were delivered? The system's own program tells."""
    check = subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=data, capture_output=True, text=True)
    print(check.stdout, end="")
    size = subprocess.run("cat *.csv | wc -l", shell=True, cwd=data, capture_output=True, text=True, check=True)
    print("lines", size.stdout.strip())
    if check.returncode:
        raise OSError(check.stderr.strip())
