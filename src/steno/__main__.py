from steno.cli.main import main

main()
