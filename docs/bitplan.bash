# bash completion for bitplan: commands and files, then the options that the help lists. A first word
# that is no command is the workbench's.
_bitplan()
{
    local commands="workbench measure merge solve sweep decompose unpack verify info sample"
    local current=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]}
    if [ "$COMP_CWORD" = 1 ] || [[ " $commands " != *" $command "* ]]; then
        command=workbench
    fi
    if [[ $current == -* ]]; then
        local options
        options=$(bitplan "$command" --help 2>/dev/null | grep -oE '^ +(-[a-z], )?--[a-z-]+' |
            grep -oE -- '--[a-z-]+')
        [ "$COMP_CWORD" = 1 ] && options+=" --version --man"
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
    else
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        [ "$COMP_CWORD" = 1 ] &&
            mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -W "$commands" -- "$current")
    fi
}
complete -o filenames -F _bitplan bitplan
